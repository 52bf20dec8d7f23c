# SPDX-License-Identifier: Apache-2.0
# A real keeper, real clones and guests; needs root.
if(TARGET drover-keeper)
    add_executable(test.keeper.guest ${CMAKE_CURRENT_LIST_DIR}/keeper/guest.c)
    target_link_libraries(test.keeper.guest PRIVATE drover_plain_flags)
    target_link_options(test.keeper.guest PRIVATE -static)

    add_library(test_keeper_rig STATIC
        ${CMAKE_CURRENT_LIST_DIR}/keeper/plan_block.c
        ${CMAKE_CURRENT_LIST_DIR}/keeper/rig.c
        ${CMAKE_CURRENT_LIST_DIR}/keeper/rig_orders.c)
    target_include_directories(test_keeper_rig PUBLIC ${CMAKE_CURRENT_LIST_DIR}/keeper)
    target_compile_definitions(test_keeper_rig PRIVATE
        RIG_KEEPER="$<TARGET_FILE:drover-keeper>" RIG_GUEST="$<TARGET_FILE:test.keeper.guest>")
    target_link_libraries(test_keeper_rig PUBLIC drover_base drover_keeper_plan
        PRIVATE drover_flags PkgConfig::CMOCKA)
    add_dependencies(test_keeper_rig drover-keeper test.keeper.guest)

    foreach(part wire ends life console spawn)
        drover_test(integration/keeper/${part} test_keeper_rig)
        set_tests_properties(integration.keeper.${part} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 120)
    endforeach()
endif()
