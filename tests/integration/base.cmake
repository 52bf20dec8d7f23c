# SPDX-License-Identifier: Apache-2.0
drover_test(integration/base drover_base)
