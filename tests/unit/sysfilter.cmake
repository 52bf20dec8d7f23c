# SPDX-License-Identifier: Apache-2.0
pkg_check_modules(LIBSECCOMP REQUIRED IMPORTED_TARGET libseccomp)
drover_test(unit/sysfilter drover_sysfilter PkgConfig::LIBSECCOMP)
