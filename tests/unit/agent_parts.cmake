# SPDX-License-Identifier: Apache-2.0
# Parts of the agent that need neither loop nor kernel.
foreach(part boot configs hook_words inbox results uplink)
    drover_test(unit/${part} drover_codec drover_model)
    target_sources(test.unit.${part} PRIVATE ${PROJECT_SOURCE_DIR}/agent/${part}.c)
    target_include_directories(test.unit.${part} PRIVATE ${PROJECT_SOURCE_DIR}/agent)
endforeach()
drover_test(unit/uplink_restored drover_model)
target_sources(test.unit.uplink_restored PRIVATE ${PROJECT_SOURCE_DIR}/agent/uplink.c)
target_include_directories(test.unit.uplink_restored PRIVATE ${PROJECT_SOURCE_DIR}/agent)
drover_test(unit/hold drover_model)
target_sources(test.unit.hold PRIVATE ${PROJECT_SOURCE_DIR}/agent/hold.c)
target_include_directories(test.unit.hold PRIVATE
    ${PROJECT_SOURCE_DIR}/agent ${PROJECT_SOURCE_DIR}/agent/keeper)
