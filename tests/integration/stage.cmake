# SPDX-License-Identifier: Apache-2.0
# Real guests: these need root.
file(GLOB stage_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/agent/keeper/stage*.c)
add_library(test_stage STATIC
    ${stage_sources}
    ${CMAKE_CURRENT_LIST_DIR}/stage/guest.c
    ${CMAKE_CURRENT_LIST_DIR}/stage/guest_run.c)
target_include_directories(test_stage PUBLIC
    ${PROJECT_SOURCE_DIR}/agent/keeper ${CMAKE_CURRENT_LIST_DIR}/stage)
target_link_libraries(test_stage PRIVATE drover_flags PkgConfig::CMOCKA
    PUBLIC drover_keeper_plan drover_base)
foreach(part launch targets init steps spawn)
    drover_test(integration/stage/${part} test_stage)
    set_tests_properties(integration.stage.${part} PROPERTIES LABELS integration TIMEOUT 60)
endforeach()
