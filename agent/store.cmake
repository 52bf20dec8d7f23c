# SPDX-License-Identifier: Apache-2.0
# node.db: what a node must still know after any crash.
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
# What is decided and written, on any sqlite3 *: no thread, loop or file.
add_library(drover_ledger STATIC
    store_batch.c
    store_bound.c
    store_db.c
    store_history.c
    store_look.c
    store_prune.c
    store_read.c
    store_subjects.c
    store_write.c
    uplink.c)
target_include_directories(drover_ledger PUBLIC . ${PROJECT_SOURCE_DIR}/proto)
target_link_libraries(drover_ledger PUBLIC drover_model drover_base drover_database
    PkgConfig::SQLITE PRIVATE drover_flags)
add_library(drover_store STATIC store.c store_reserve.c)
target_link_libraries(drover_store PUBLIC drover_ledger PkgConfig::LIBUV PRIVATE drover_flags)
