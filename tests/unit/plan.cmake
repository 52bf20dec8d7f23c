# SPDX-License-Identifier: Apache-2.0
drover_test(unit/plan drover_rootfs drover_keeper_plan)
