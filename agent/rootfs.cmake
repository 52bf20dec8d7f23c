# SPDX-License-Identifier: Apache-2.0
# What a guest may call. seccomp.h is libseccomp's, included by sysfilter.c alone.
pkg_check_modules(LIBSECCOMP REQUIRED IMPORTED_TARGET libseccomp)
add_library(drover_sysfilter STATIC
    sysfilter.c
    sysfilter_compile.c
    sysfilter_rules.c)
target_include_directories(drover_sysfilter PUBLIC . ${PROJECT_SOURCE_DIR}/proto)
target_link_libraries(drover_sysfilter
    PUBLIC drover_base drover_model PRIVATE drover_flags PkgConfig::LIBSECCOMP)

add_library(drover_rootfs STATIC
    exec_plan.c
    family.c
    layers.c
    passwd.c
    plan.c
    plan_limits.c
    rootfs.c
    rootfs_lock.c
    rootfs_mounts.c
    rootfs_plan.c
    rootfs_plan_mounts.c
    rootfs_tree.c)
target_include_directories(drover_rootfs PUBLIC . keeper ${PROJECT_SOURCE_DIR}/proto)
target_link_libraries(drover_rootfs PUBLIC drover_base drover_model PRIVATE drover_flags)

pkg_check_modules(LIBARCHIVE REQUIRED IMPORTED_TARGET libarchive)
add_library(drover_template STATIC template.c)
target_include_directories(drover_template PUBLIC .)
target_link_libraries(drover_template
    PUBLIC drover_rootfs drover_boundary PRIVATE drover_flags PkgConfig::LIBARCHIVE)
