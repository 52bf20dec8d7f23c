# SPDX-License-Identifier: Apache-2.0
# The daemon of a node: the turn, and the adapters that it binds together.
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
add_executable(drover-agent
    adopt.c
    adopt_found.c
    agent.c
    boot.c
    clean.c
    configs.c
    console_rebind.c
    console_tail.c
    devices.c
    effects.c
    executor.c
    group_bound.c
    hold.c
    hook_inside.c
    hook_run.c
    hook_words.c
    inbox.c
    inits.c
    keeper_client.c
    keeper_records.c
    keeper_start.c
    keeper_upgrade.c
    launching.c
    leaves.c
    listing.c
    main.c
    options.c
    orphans.c
    prepare.c
    publisher.c
    readiness.c
    recall.c
    record_seen.c
    requests.c
    results.c
    slots.c
    stop.c
    stop_look.c
    strays.c
    stream_console.c
    stream_exec.c
    stream_import.c
    stream_io.c
    streams.c
    subid.c
    turn.c
    turn_core.c
    upstream.c
    upstream_events.c
    views.c
    watch.c)
target_link_libraries(drover-agent PRIVATE
    drover_flags drover_base drover_daemon drover_model drover_codec
    drover_session drover_local drover_link drover_boundary drover_cgroup
    drover_rootfs drover_sysfilter drover_template drover_store
    PkgConfig::LIBUV PkgConfig::SODIUM)
# Beside it, so that a built agent finds it.
add_dependencies(drover-agent drover-keeper)
