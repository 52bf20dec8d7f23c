# SPDX-License-Identifier: Apache-2.0
# The program as it is, against servers that answer as they like.
add_library(test_cli_fake STATIC ${CMAKE_CURRENT_LIST_DIR}/cli/fake.c)
target_include_directories(test_cli_fake PUBLIC ${CMAKE_CURRENT_LIST_DIR}/cli)
target_compile_definitions(test_cli_fake PRIVATE CLI_PROGRAM="$<TARGET_FILE:drover>")
target_link_libraries(test_cli_fake PUBLIC drover_codec PRIVATE util drover_flags PkgConfig::CMOCKA)
add_dependencies(test_cli_fake drover)

foreach(part answers commands streams)
    drover_test(integration/cli/${part} test_cli_fake)
endforeach()
