# SPDX-License-Identifier: Apache-2.0
if(TARGET drover_local)
    add_library(test_local STATIC ${CMAKE_CURRENT_LIST_DIR}/local/rig.c)
    target_include_directories(test_local PUBLIC ${CMAKE_CURRENT_LIST_DIR}/local)
    target_link_libraries(test_local PUBLIC drover_local PRIVATE drover_flags PkgConfig::CMOCKA)
    drover_test(integration/local/talk test_local)
    drover_test(integration/local/doors test_local)
endif()
