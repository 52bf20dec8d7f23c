# SPDX-License-Identifier: Apache-2.0
# libcgroup's header is included by cgroup_lib.c alone.
pkg_check_modules(LIBCGROUP REQUIRED IMPORTED_TARGET libcgroup)
add_library(drover_cgroup STATIC
    cgroup.c
    cgroup_bound.c
    cgroup_find.c
    cgroup_lib.c
    cgroup_limits.c
    cgroup_make.c
    cgroup_path.c
    cgroup_read.c
    cgroup_set.c
    cgroup_tree.c)
target_include_directories(drover_cgroup PUBLIC . PRIVATE ${PROJECT_SOURCE_DIR}/proto)
target_link_libraries(drover_cgroup PUBLIC drover_base drover_model drover_boundary
    PRIVATE drover_flags PkgConfig::LIBCGROUP)
