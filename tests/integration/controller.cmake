# SPDX-License-Identifier: Apache-2.0
# A real controller, nodes that speak the protocol as the test says, and operators' clients.
if(TARGET drover-controller)
    add_library(test_controller_rig STATIC
        ${CMAKE_CURRENT_LIST_DIR}/controller/rig.c
        ${CMAKE_CURRENT_LIST_DIR}/controller/rig_client.c
        ${CMAKE_CURRENT_LIST_DIR}/controller/rig_node.c)
    target_include_directories(test_controller_rig PUBLIC ${CMAKE_CURRENT_LIST_DIR}/controller)
    target_compile_definitions(test_controller_rig PRIVATE
        RIG_CONTROLLER="$<TARGET_FILE:drover-controller>")
    target_link_libraries(test_controller_rig PUBLIC drover_link drover_session drover_codec
        drover_model drover_base PRIVATE drover_flags PkgConfig::CMOCKA)
    add_dependencies(test_controller_rig drover-controller)

    foreach(part commands durable queries events streams life)
        drover_test(integration/controller/${part} test_controller_rig drover_database)
    endforeach()
    # It waits for nodes to come back, again and again.
    set_tests_properties(integration.controller.durable PROPERTIES TIMEOUT 240)
    # They wait for the controller's bounds: instruments add nothing to one run in --full.
    set_property(TEST integration.controller.durable integration.controller.streams
        integration.controller.queries APPEND PROPERTY LABELS full_instrumented)
endif()
