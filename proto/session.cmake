# SPDX-License-Identifier: Apache-2.0
# Numbering of records: nothing lost, nothing twice.
add_library(drover_session STATIC outbox.c session.c)
target_include_directories(drover_session PUBLIC .)
target_link_libraries(drover_session PUBLIC drover_codec PRIVATE drover_flags)
