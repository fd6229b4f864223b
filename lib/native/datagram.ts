// native/binding/datagram.cc as TypeScript sees it.
export interface DatagramBinding {
  /** One datagram to an AF_UNIX socket: a path, or '@' and an abstract name. Throws; EAGAIN: its queue is full. */
  sendDatagram(address: string, text: string): void
}
