# SPDX-License-Identifier: Apache-2.0
drover_test(unit/subid drover_model)
target_sources(test.unit.subid PRIVATE ${PROJECT_SOURCE_DIR}/agent/subid.c)
target_include_directories(test.unit.subid PRIVATE ${PROJECT_SOURCE_DIR}/agent)
