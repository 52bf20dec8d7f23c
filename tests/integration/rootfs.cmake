# SPDX-License-Identifier: Apache-2.0
drover_test(integration/rootfs drover_rootfs drover_keeper_plan)
drover_test(integration/rootfs_files drover_rootfs drover_keeper_plan)
drover_test(integration/template drover_template)
