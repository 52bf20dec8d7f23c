# SPDX-License-Identifier: Apache-2.0
# A minute of daemons killed at random under a load; more by hand. And long forms of others. Root.
add_executable(test.support.witness ${PROJECT_SOURCE_DIR}/tests/support/witness.c)
target_link_libraries(test.support.witness PRIVATE bench_measure drover_base drover_flags)
add_test(NAME integration.soak COMMAND bash
    ${CMAKE_CURRENT_LIST_DIR}/soak ${CMAKE_BINARY_DIR} --minutes 1)
set_tests_properties(integration.soak PROPERTIES SKIP_RETURN_CODE 77
    TIMEOUT 240 LABELS "integration;plain")
foreach(name away lossy)
    add_test(NAME integration.${name}_full COMMAND bash
        ${CMAKE_CURRENT_LIST_DIR}/${name}.sh ${CMAKE_BINARY_DIR} --full)
    set_tests_properties(integration.${name}_full PROPERTIES SKIP_RETURN_CODE 77
        TIMEOUT 1200 LABELS "integration;plain;full")
endforeach()
