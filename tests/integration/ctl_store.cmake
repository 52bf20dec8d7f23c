# SPDX-License-Identifier: Apache-2.0
# controller.db, on a real file system.
if(TARGET drover_ctl_store)
    add_library(test_ctl_store_rig STATIC ${CMAKE_CURRENT_LIST_DIR}/ctl_store/rig.c)
    target_include_directories(test_ctl_store_rig PUBLIC ${CMAKE_CURRENT_LIST_DIR}/ctl_store)
    target_link_libraries(test_ctl_store_rig PUBLIC drover_ctl_store drover_base
        PRIVATE drover_flags PkgConfig::CMOCKA)
    drover_test(integration/ctl_store/content test_ctl_store_rig)
endif()
