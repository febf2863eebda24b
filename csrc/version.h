/* version.h - the library's version: the one place where it stands. Layer 0. */
#ifndef IDEM_VERSION_H
#define IDEM_VERSION_H

#define IDEM__VERSION "0.1.0"

#endif
