# SPDX-License-Identifier: Apache-2.0
# Real groups with real processes in them; need root.
if(TARGET drover_cgroup)
    add_library(test_cgroup STATIC ${CMAKE_CURRENT_LIST_DIR}/cgroup/scene.c)
    target_include_directories(test_cgroup PUBLIC
        ${CMAKE_CURRENT_LIST_DIR}/cgroup ${PROJECT_SOURCE_DIR}/proto)
    target_link_libraries(test_cgroup PUBLIC drover_cgroup drover_base
        PRIVATE drover_flags PkgConfig::CMOCKA)
    foreach(part life limits hosts)
        drover_test(integration/cgroup/${part} test_cgroup)
        set_tests_properties(integration.cgroup.${part} PROPERTIES
            LABELS integration SKIP_RETURN_CODE 77 TIMEOUT 60)
    endforeach()
endif()
