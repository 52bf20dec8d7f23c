/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_id.h — which build a program is, told by the note that its linker left in it.
 *
 * Shape    lower-case hexadecimal digits of NT_GNU_BUILD_ID, cut to fit; equal text, equal build.
 * Units    octets.
 * Errors   "" when there is no such note.
 * Owner    the caller's text.
 * Context  any thread; nothing is allocated. Source: elf(5), ld(1) --build-id.
 */
#ifndef DROVER_BUILD_ID_H
#define DROVER_BUILD_ID_H

#define BUILD_ID_BYTES 48

/* Of the program that calls. */
const char *build_id_self(char text[BUILD_ID_BYTES]);
/* Of an open executable. */
const char *build_id_file(int fd, char text[BUILD_ID_BYTES]);

#endif
