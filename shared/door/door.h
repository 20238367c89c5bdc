/* door.h: the wire format of doors over UNIX sockets, version 1, for programs in
   C. The documentation of package door (doc.go) explains it. Integers are little
   endian; this header is for little-endian machines, where structs can be sent as
   they are. */

#ifndef DOOR_H
#define DOOR_H

#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the fields of struct door_frame are little endian: convert them"
#endif

#define DOOR_MAGIC 0x524f4f44u /* "DOOR" */
#define DOOR_VERSION 1
#define DOOR_INLINE_MAX 65536 /* bytes of data in a frame; more go in a memfd */
#define DOOR_DESC_MAX 252     /* descriptors beside a memfd */

enum {              /* door_frame.type */
    DOOR_CALL = 1,   /* client: the argument */
    DOOR_RETURN = 2, /* server: the result */
    DOOR_ERROR = 3,  /* server: an errno */
    DOOR_INFO = 4,   /* client: answered by a RETURN of struct door_info_reply */
    DOOR_DETACH = 5  /* client of the server's user: fdetach */
};

#define DOOR_MEMFD 1u /* door_frame.flags: the data are in the first descriptor */

struct door_frame {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t error;
    uint32_t flags;
    uint64_t size;
    uint32_t n_desc;
    uint32_t reserved;
};

struct door_info_reply {
    uint32_t attributes;
    int32_t pid;
    uint64_t uniquifier;
    uint64_t data_min;
    uint64_t data_max;
    uint32_t desc_max;
    uint32_t reserved;
};

_Static_assert(sizeof(struct door_frame) == 32, "struct door_frame");
_Static_assert(offsetof(struct door_frame, size) == 16, "door_frame.size");
_Static_assert(offsetof(struct door_frame, n_desc) == 24, "door_frame.n_desc");
_Static_assert(sizeof(struct door_info_reply) == 40, "struct door_info_reply");
_Static_assert(offsetof(struct door_info_reply, data_max) == 24, "door_info_reply.data_max");

#endif
