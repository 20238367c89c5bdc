// Package door is the doors of Solaris over UNIX domain sockets: a call into a
// procedure of another process, with data and descriptors both ways.
//
//	Solaris                      here
//	door_create(3C)              Create, Config.Create
//	fattach(3C), fdetach(3C)     Door.Attach, Door.Detach; Detach
//	open(2)                      Open
//	door_call(3C)                Client.Call
//	door_return(3C)              Call.Return
//	door_ucred(3C)               Call.Cred
//	door_info(3C)                Client.Info, Door.Info
//	door_getparam(3C)            Client.GetParam, Door.GetParam
//	door_setparam(3C)            Door.SetParam
//	door_revoke(3C)              Door.Revoke
//	DOOR_UNREF_DATA              Call.Unref
//	close(2), exit(2)            Client.Close, Door.Close
//
// A server:
//
//	d, err := door.Create(func(call *door.Call, cookie any, arg []byte, desc []*os.File) {
//		call.Return(bytes.ToUpper(arg))
//	}, nil, 0)
//	…
//	err = d.Attach("/tmp/door")
//
// A client:
//
//	c, err := door.Open("/tmp/door")
//	…
//	arg := door.Arg{Data: []byte("hello")}
//	err = c.Call(ctx, &arg) // arg.Data is the result
//
// # Differences from Solaris
//
//   - A caller's thread does not become the server's: a message goes there and
//     one comes back. Errors that on Solaris the kernel finds are found by the
//     server's side of this package and come as a message, too.
//   - Call.Return returns. A procedure that ends without it leaves the client
//     with EINTR, as on Solaris; so does one that panics. The panic is reported
//     (Config.OnPanic) and the server goes on: the other clients have no part in
//     it, and each call has its own goroutine and memory.
//   - DataMax is 16 MiB at first, and MaxResult of a client 1 GiB, not unlimited:
//     both are what the peer can make a process allocate.
//   - A client takes only as many descriptors as it says (Arg.RDesc), and a
//     server's are closed when its procedure returns unless it keeps them, so that
//     descriptors nobody asked for stay nowhere.
//   - Write permission on the socket, not read permission, lets a process open
//     a door, and symbolic links at the path itself are not followed.
//   - A path needs no file to cover (see Door.Attach).
//   - A door has references as long as it is attached or a client is connected. A
//     client that is silent for long and has lost its connection for want of room
//     does not count, although it can still call.
//   - The caller's ids are those of the process at the time of its connection.
//
// # Limits
//
// One call is in flight on a connection; a Client opens further connections for
// concurrent calls and keeps at most 64 idle ones. A server has at most MaxCalls
// calls in progress and MaxConns connections (Config). A connection costs it a
// goroutine, a descriptor and about 12 KiB; a call in progress 64 KiB, and the size of
// its argument and of its result if they are larger than that. An idle connection
// of a client keeps at most 4 MiB, if it has had large arguments. Up to 16 of a
// server's connections and 64 of a process's calls hold a thread while they wait,
// each for at most 5 ms at a time. A connection on which a bad frame came is closed,
// the others do not notice. A client that closes its sending half still gets the
// result of its call.
//
// # The wire format, version 1
//
// The socket is AF_UNIX, SOCK_SEQPACKET: each send is one frame, each receive gives
// one. The client connects and sends a frame, the server answers with one, and so
// on; neither sends two in a row. A frame is a header of 32 bytes, all of it little
// endian, and data. door.h beside this file declares it for C.
//
//	offset  bytes  field
//	 0      4      magic       the bytes D O O R (0x524f4f44)
//	 4      2      version     1
//	 6      2      type        1 CALL, 2 RETURN, 3 ERROR, 4 INFO, 5 DETACH
//	 8      4      error       of ERROR: the errno, 1 to 4095; else 0
//	12      4      flags       bit 0: MEMFD; the others 0
//	16      8      size        bytes of data
//	24      4      n_desc      descriptors, the memfd not counted; 0 to 252
//	28      4      reserved    0
//	32      size   data        if MEMFD is not set
//
// The client sends CALL with the argument, INFO, or DETACH; the last two with size
// and n_desc 0. The server answers with RETURN or ERROR. ERROR has size and n_desc
// 0. The first 12 bytes are the same in every version. To a version that it does
// not speak a server answers with an ERROR of its own version, EPROTONOSUPPORT,
// and closes the connection. The errno values are those of Linux on the machine.
//
// Data. Up to 65536 bytes follow the header in the frame; a receiver has room for
// 32 + 65536 bytes. More, and less if the sender likes, go in a memfd: MEMFD is
// set, the frame ends after the header, size is at least 1 and at most the size of
// the memfd. The memfd is sealed with F_SEAL_SHRINK, F_SEAL_GROW, and F_SEAL_WRITE or
// F_SEAL_FUTURE_WRITE; the receiver checks that with F_GET_SEALS, and the size with
// fstat(2). With F_SEAL_FUTURE_WRITE the sender can still change the data, so the
// receiver copies them (read(2)) before it looks at them. The sender may use such a
// memfd again for its next frame on the connection.
//
// Descriptors travel with the first byte of the frame in one SCM_RIGHTS control
// message: the memfd first, if there is one, then the n_desc others in their
// order. The kernel permits 253 in one message (SCM_MAX_FD), hence 252 beside a
// memfd. The receiver gets duplicates; both sides close their own. What a receiver
// has no use for it closes, or gives recvmsg(2) no room for: then the kernel closes
// it and sets MSG_CTRUNC. Fewer than there was room for, with MSG_CTRUNC, means
// that the receiver has no descriptors left: EMFILE.
//
// INFO is answered by a RETURN of 40 bytes:
//
//	offset  bytes  field
//	 0      4      attributes  as in Attr
//	 4      4      pid         of the server
//	 8      8      uniquifier
//	16      8      data_min    the parameters
//	24      8      data_max
//	32      4      desc_max
//	36      4      reserved    0
//
// DETACH takes the door off the path through which the client has connected. It is
// for the server's user and for root, by SO_PEERCRED; the answer is an empty
// RETURN.
//
// Errors of a call: EBADF the door is revoked, ENOBUFS the size is outside
// data_min to data_max, ENOTSUP descriptors to a door that refuses them, ENFILE
// more than desc_max, EMFILE the server has none left, EINTR the procedure has
// ended without a result. After EPROTO, for a frame that breaks these rules, and
// EPROTONOSUPPORT the server closes the connection; after other errors it can be
// used again. A frame without the magic, or shorter than a header, gets no answer.
//
// The end of the data (recvmsg(2) returns 0) in place of an answer means that the
// server died or closed the door during the call: EINTR. ECONNRESET in its place,
// or EPIPE from sendmsg(2), means that the server had closed the connection, which
// it may do when it is idle, and has not read the frame: a client connects again
// and sends it again, or takes it for EBADF. ECONNREFUSED from connect(2): the
// server is gone, EBADF. EPROTOTYPE: the socket is no door, EBADF. A client that
// gives up closes the connection.
package door
