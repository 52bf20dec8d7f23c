/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile.h — parts of hostile, which tries ways out itself (hostile.c).
 *
 * Shape    a function a word.
 * Units    none.
 * Errors   what each way met is printed; the exit status says only whether the word was known.
 * Owner    nobody.
 * Context  a process in a guest.
 */
#ifndef DROVER_TEST_HOSTILE_H
#define DROVER_TEST_HOSTILE_H

/* The errno of a call; 0: it worked. Of a file that was opened and written. Of what was tried in a
 * process of its own, as it may change what later ones stand on. */
int answer(long result);
int write_to(const char *path, const char *text);
int apart(int (*attempt)(void));

/* Ways out by the hierarchy name=systemd, each printed with what it met. */
int named(void);

/* Watch /proc until so many helpers of the host came by; print what could be got at of each. */
int helpers(long wanted);

/* Use up what there is of one thing; 2: the word is not known. */
int rage(const char *what, long count);

/* Hold a lock of the kernel's that somebody of the host would wait for; 2: not known. */
int hold(const char *what);

#endif
