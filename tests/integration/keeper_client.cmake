# SPDX-License-Identifier: Apache-2.0
# A real agent, and the test in the place of its keeper. Root.
if(TARGET drover-agent)
    drover_test(integration/keeper_client drover_base)
    target_include_directories(test.integration.keeper_client PRIVATE
        ${PROJECT_SOURCE_DIR}/agent/keeper)
    target_compile_definitions(test.integration.keeper_client PRIVATE
        AGENT="$<TARGET_FILE:drover-agent>")
    add_dependencies(test.integration.keeper_client drover-agent)
endif()
