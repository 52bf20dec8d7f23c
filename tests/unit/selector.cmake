# SPDX-License-Identifier: Apache-2.0
drover_test(unit/selector drover_model)
