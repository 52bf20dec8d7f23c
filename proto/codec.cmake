# SPDX-License-Identifier: Apache-2.0
# Octets to messages and back. What protoc-c makes is a target of its own, without our warnings.
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
find_program(PROTOC_C protoc-c REQUIRED)
set(drover_pb ${CMAKE_CURRENT_BINARY_DIR}/pb)
file(MAKE_DIRECTORY ${drover_pb})
add_custom_command(
    OUTPUT ${drover_pb}/drover.pb-c.c ${drover_pb}/drover.pb-c.h
    COMMAND ${PROTOC_C} --c_out=${drover_pb} -I${CMAKE_CURRENT_SOURCE_DIR}
        ${CMAKE_CURRENT_SOURCE_DIR}/drover.proto
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/drover.proto
    VERBATIM)
add_library(drover_proto STATIC ${drover_pb}/drover.pb-c.c ${drover_pb}/drover.pb-c.h)
target_include_directories(drover_proto PUBLIC ${drover_pb})
target_link_libraries(drover_proto PUBLIC PkgConfig::PROTOBUF_C)

add_library(drover_codec STATIC
    arena.c
    codec.c
    codec_check.c
    codec_in.c
    codec_in_body.c
    codec_numbers.c
    codec_out.c
    codec_out_body.c
    config.c
    setting.c)
target_include_directories(drover_codec PUBLIC .)
target_link_libraries(drover_codec PUBLIC drover_model PRIVATE drover_proto drover_flags)
