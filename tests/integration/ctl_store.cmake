# SPDX-License-Identifier: Apache-2.0
# controller.db, on a real file system. refusals needs root, for mounts in a namespace of its own.
if(TARGET drover_ctl_store)
    add_library(test_ctl_store_rig STATIC ${CMAKE_CURRENT_LIST_DIR}/ctl_store/rig.c)
    target_include_directories(test_ctl_store_rig PUBLIC ${CMAKE_CURRENT_LIST_DIR}/ctl_store)
    target_compile_definitions(test_ctl_store_rig PUBLIC
        CTL_STORE_CONTROLLER="$<TARGET_FILE:drover-controller>")
    target_link_libraries(test_ctl_store_rig PUBLIC drover_ctl_store drover_base
        PRIVATE drover_flags PkgConfig::CMOCKA)
    add_dependencies(test_ctl_store_rig drover-controller)
    foreach(part content killed refusals)
        drover_test(integration/ctl_store/${part} test_ctl_store_rig)
    endforeach()
    drover_test(integration/ctl_store/registry test_ctl_store_rig
        drover_codec drover_session drover_link)
    foreach(source channel known registry registry_store)
        target_sources(test.integration.ctl_store.registry PRIVATE
            ${PROJECT_SOURCE_DIR}/ctl/controller/${source}.c)
    endforeach()
    set_tests_properties(integration.ctl_store.killed PROPERTIES LABELS "integration;threads")
endif()
