# SPDX-License-Identifier: Apache-2.0
drover_test(unit/simvfs sim_vfs drover_database)
