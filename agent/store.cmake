# SPDX-License-Identifier: Apache-2.0
# node.db: what a node must still know after any crash.
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
add_library(drover_store STATIC
    store.c
    store_db.c
    store_history.c
    store_prune.c
    store_read.c
    store_subjects.c
    store_write.c)
target_include_directories(drover_store PUBLIC . ${PROJECT_SOURCE_DIR}/proto)
target_link_libraries(drover_store PUBLIC drover_model drover_base PkgConfig::LIBUV
    PRIVATE drover_flags PkgConfig::SQLITE)
