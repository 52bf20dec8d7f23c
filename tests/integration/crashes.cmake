# SPDX-License-Identifier: Apache-2.0
# Daemons killed at random, from a seed that is printed. Root.
add_test(NAME integration.crashes COMMAND bash
    ${CMAKE_CURRENT_LIST_DIR}/crashes.sh ${CMAKE_BINARY_DIR})
set_tests_properties(integration.crashes PROPERTIES SKIP_RETURN_CODE 77
    TIMEOUT 240 LABELS integration)
