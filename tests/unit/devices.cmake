# SPDX-License-Identifier: Apache-2.0
drover_test(unit/devices drover_base drover_model)
target_sources(test.unit.devices PRIVATE ${PROJECT_SOURCE_DIR}/agent/devices.c)
target_include_directories(test.unit.devices PRIVATE
    ${PROJECT_SOURCE_DIR}/agent ${PROJECT_SOURCE_DIR}/proto)
