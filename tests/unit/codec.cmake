# SPDX-License-Identifier: Apache-2.0
if(TARGET drover_codec)
    add_library(test_codec STATIC
        ${CMAKE_CURRENT_LIST_DIR}/codec/samples.c
        ${CMAKE_CURRENT_LIST_DIR}/codec/same.c)
    target_include_directories(test_codec PUBLIC ${CMAKE_CURRENT_LIST_DIR}/codec)
    target_link_libraries(test_codec PUBLIC drover_codec PRIVATE drover_flags PkgConfig::CMOCKA)

    drover_test(unit/codec test_codec)
    drover_test(unit/codec_hostile test_codec)
    drover_test(unit/codec_schema test_codec drover_proto)
    drover_test(unit/arena drover_codec)
    drover_test(unit/setting drover_codec)
endif()
