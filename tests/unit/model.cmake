# SPDX-License-Identifier: Apache-2.0
foreach(part boot_order deadlines fault hooks names)
    drover_test(unit/${part} drover_model)
endforeach()

add_library(test_world STATIC
    ${PROJECT_SOURCE_DIR}/tests/support/found.c ${PROJECT_SOURCE_DIR}/tests/support/world.c)
target_include_directories(test_world PUBLIC ${PROJECT_SOURCE_DIR}/tests/support)
target_link_libraries(test_world PUBLIC drover_model PkgConfig::CMOCKA PRIVATE drover_flags)
foreach(part container_actions container_rules
        node node_admission node_adopt node_adopt_down node_boot node_destroy node_kill node_life
        node_restart node_set node_stop node_unasked)
    drover_test(unit/${part} test_world)
endforeach()

drover_test(unit/node_walk drover_model)
target_sources(test.unit.node_walk PRIVATE
    ${PROJECT_SOURCE_DIR}/tests/support/walk.c ${PROJECT_SOURCE_DIR}/tests/support/walk_check.c)
target_include_directories(test.unit.node_walk PRIVATE ${PROJECT_SOURCE_DIR}/tests/support)
