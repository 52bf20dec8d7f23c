# SPDX-License-Identifier: Apache-2.0
drover_test(unit/keeper_plan drover_keeper_plan drover_base)
