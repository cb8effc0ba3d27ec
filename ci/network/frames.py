"""Frames, byte by byte: what an honest machine would never send."""

import ipaddress
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES = ("33:33:00:00:00:01", "ff02::1")
IPV4, ARP, VLAN, IPV6, EXPERIMENT = 0x0800, 0x0806, 0x8100, 0x86DD, 0x88B5
ICMP, UDP, ICMPV6 = 1, 17, 58
ROUTER_ADVERT, NEIGHBOUR_SOLICIT, NEIGHBOUR_ADVERT = 134, 135, 136


def marker(name):
    """What a captured frame is known by."""
    return f"<<{name}>>".encode()


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def address(text):
    return ipaddress.ip_address(text).packed


def link_local(of_mac):
    """The address that a kernel makes of its MAC address (RFC 4291, appendix A)."""
    octets = mac(of_mac)
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.ip_address(b"\xfe\x80" + bytes(6) + identifier))


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def ethernet(source, destination, kind, payload):
    return mac(destination) + mac(source) + struct.pack("!H", kind) + payload.ljust(46, b"\0")


def vlan(frame, number=7):
    """The same frame with a tag."""
    return frame[:12] + struct.pack("!HH", VLAN, number) + frame[12:]


def arp_reply(claimed_mac, claimed_address, name):
    """A gratuitous reply: `claimed_address is at claimed_mac`, to everybody."""
    head = struct.pack("!HHBBH", 1, IPV4, 6, 4, 2)
    claim = mac(claimed_mac) + address(claimed_address)
    return head + claim + mac(BROADCAST) + address(claimed_address) + marker(name)


def ip(source, destination, protocol, payload, hops=64):
    """A packet of the family of its addresses, around a payload whose checksum the pseudo header completes."""
    start, end = address(source), address(destination)
    if len(start) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + start + end + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, hops, protocol, 0) + start + end
    return head[:10] + checksum(head) + head[12:] + payload


def udp(source, destination, source_port, port, payload, hops=64):
    length = 8 + len(payload)
    head = struct.pack("!HHHH", source_port, port, length, 0)
    pseudo = address(source) + address(destination) + struct.pack("!HH", UDP, length)
    return ip(source, destination, UDP, head[:6] + checksum(pseudo + head + payload) + payload, hops)


def icmp(source, destination, kind, code, body):
    head = struct.pack("!BB", kind, code)
    return ip(source, destination, ICMP, head + checksum(head + b"\0\0" + body) + body)


def icmpv6(source, destination, kind, body):
    """With the hop limit that neighbours require of each other."""
    head = struct.pack("!BB", kind, 0)
    pseudo = address(source) + address(destination) + struct.pack("!II", 4 + len(body), ICMPV6)
    return ip(source, destination, ICMPV6, head + checksum(pseudo + head + b"\0\0" + body) + body, hops=255)


def dhcp_offer(server, name):
    """BOOTP reply with the option that makes it an offer."""
    body = struct.pack("!BBBBI", 2, 1, 6, 0, 0x12345678) + bytes(8) + address(server) * 2 + bytes(4 + 16 + 192)
    return udp(server, "255.255.255.255", 67, 68, body + b"\x63\x82\x53\x63\x35\x01\x02\xff" + marker(name))


def dhcpv6_advertise(server, name):
    return udp(server, ALL_NODES[1], 547, 546, b"\x02abc" + marker(name))


def router_advert(router, name):
    """A default router for half an hour, with a prefix to make addresses of."""
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 1800, 1800, 0) + address("fd00:bad::")
    # An option that nobody knows carries the marker.
    option = b"\xfd\x04" + marker(name).ljust(30, b"\0")
    head = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    return icmpv6(router, ALL_NODES[1], ROUTER_ADVERT, head + prefix + option)


def neighbour_advert(source, claimed_address, name):
    text = marker(name).ljust(30, b"\0")
    body = struct.pack("!I", 0x20000000) + address(claimed_address) + b"\xfd\x04" + text
    return icmpv6(source, ALL_NODES[1], NEIGHBOUR_ADVERT, body)


def neighbour_solicit(source, wanted, own_mac):
    """Who asks says where it is."""
    return icmpv6(source, wanted, NEIGHBOUR_SOLICIT, bytes(4) + address(wanted) + b"\1\1" + mac(own_mac))


def redirect(source, victim, better, name):
    """ICMP redirect: `go to that address by way of better`."""
    original = ip(victim, "203.0.113.9", UDP, bytes(8))
    return icmp(source, victim, 5, 1, address(better) + original + marker(name))
