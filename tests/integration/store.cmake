# SPDX-License-Identifier: Apache-2.0
# Real files, real crashes. failures needs root, for mounts in a namespace of its own.
if(TARGET drover_store)
    add_library(test_store_rig STATIC ${CMAKE_CURRENT_LIST_DIR}/store/rig.c
        ${CMAKE_CURRENT_LIST_DIR}/store/shim.c)
    target_include_directories(test_store_rig PUBLIC ${CMAKE_CURRENT_LIST_DIR}/store)
    target_link_libraries(test_store_rig PUBLIC drover_store
        PRIVATE drover_flags PkgConfig::CMOCKA)
    target_sources(test_store_rig PRIVATE ${PROJECT_SOURCE_DIR}/agent/executor.c
        ${PROJECT_SOURCE_DIR}/agent/publisher.c)
    foreach(part rows ledger bound history refusals versions failures disk clock publisher)
        drover_test(integration/store/${part} test_store_rig)
        set_tests_properties(integration.store.${part} PROPERTIES TIMEOUT 240)
    endforeach()
    foreach(part rows ledger history failures publisher) # what has several threads at work
        set_tests_properties(integration.store.${part} PROPERTIES LABELS "integration;threads")
    endforeach()
    target_link_options(test.integration.store.history PRIVATE -Wl,--wrap=sqlite3_step)
    target_compile_definitions(test.integration.store.versions PRIVATE
        VERSION_1_SQL="${CMAKE_CURRENT_LIST_DIR}/store/version1.sql")
endif()
