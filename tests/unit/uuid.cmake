# SPDX-License-Identifier: Apache-2.0
drover_test(unit/uuid drover_model)
