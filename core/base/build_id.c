/* SPDX-License-Identifier: Apache-2.0 */
#include "build_id.h"

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define HEADERS_MAX 32 /* program headers looked at */
#define NOTES_MAX 4096 /* octets of one note segment */

/* The linker's: where this program's own ELF header was loaded. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

static void write_hex(const uint8_t *octets, size_t count, char text[BUILD_ID_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    if (count > (BUILD_ID_BYTES - 1) / 2)
        count = (BUILD_ID_BYTES - 1) / 2;
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[octets[i] >> 4];
        text[2 * i + 1] = digits[octets[i] & 15];
    }
    text[2 * count] = '\0';
}

/* A run of notes: each a header, a name and a description, both padded to four octets. */
static bool find_note(const uint8_t *notes, size_t size_bytes, char text[BUILD_ID_BYTES])
{
    while (size_bytes >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;

        memcpy(&note, notes, sizeof(note));
        size_t name_at = sizeof(note);
        size_t text_at = name_at + (((size_t)note.n_namesz + 3) & ~(size_t)3);
        size_t next_at = text_at + (((size_t)note.n_descsz + 3) & ~(size_t)3);
        if (next_at > size_bytes)
            return false;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(notes + name_at, "GNU", 4) == 0) {
            write_hex(notes + text_at, note.n_descsz, text);
            return true;
        }
        notes += next_at;
        size_bytes -= next_at;
    }
    return false;
}

static const Elf64_Phdr *find_load(const Elf64_Phdr *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_LOAD && headers[i].p_offset == 0)
            return &headers[i];
    return NULL;
}

const char *build_id_self(char text[BUILD_ID_BYTES])
{
    const char *start = __ehdr_start;
    const Elf64_Ehdr *header = (const void *)start;
    const Elf64_Phdr *headers = (const void *)(start + header->e_phoff);
    const Elf64_Phdr *load = find_load(headers, header->e_phnum);

    text[0] = '\0';
    for (size_t i = 0; load != NULL && i < header->e_phnum; i++) {
        const char *notes = start + (headers[i].p_vaddr - load->p_vaddr);

        if (headers[i].p_type == PT_NOTE &&
            find_note((const uint8_t *)notes, headers[i].p_memsz, text))
            break;
    }
    return text;
}

const char *build_id_file(int fd, char text[BUILD_ID_BYTES])
{
    Elf64_Ehdr header;
    Elf64_Phdr headers[HEADERS_MAX];
    _Alignas(8) uint8_t notes[NOTES_MAX];

    text[0] = '\0';
    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phnum > HEADERS_MAX ||
        header.e_phentsize != sizeof(*headers))
        return text;
    size_t size_bytes = header.e_phnum * sizeof(*headers);
    if (pread(fd, headers, size_bytes, (off_t)header.e_phoff) != (ssize_t)size_bytes)
        return text;
    for (size_t i = 0; i < header.e_phnum; i++) {
        size_t room = headers[i].p_filesz < sizeof(notes) ? headers[i].p_filesz : sizeof(notes);

        if (headers[i].p_type == PT_NOTE &&
            pread(fd, notes, room, (off_t)headers[i].p_offset) == (ssize_t)room &&
            find_note(notes, room, text))
            break;
    }
    return text;
}
