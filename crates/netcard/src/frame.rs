//! Frames as they lie in a virtio queue: virtio's header, Ethernet's, an IPv4 packet.

use std::net::Ipv4Addr;

use crate::ADDRESS;

/// virtio-net's header with merged buffers (virtio 1.2, 5.1.6).
pub(crate) const VIRTIO: usize = 12;
/// Where it says how many buffers hold the frame.
pub(crate) const BUFFERS_AT: usize = 10;
const ETHERNET: usize = 14;
/// Before the packet.
pub(crate) const HEAD: usize = VIRTIO + ETHERNET;
/// Longest packet.
pub(crate) const PACKET_BYTES: usize = 65_535;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_F_DATA_VALID`
const DATA_VALID: u8 = 2;
/// `VIRTIO_NET_HDR_GSO_TCPV4`
const SEGMENTED: u8 = 1;
const TCP: u8 = 6;
const TCP_CHECKSUM_AT: usize = 16;
const SYN: u8 = 2;
/// What a guest's TCP is made to announce, so that long segments are handed to it, which its card cuts.
const LONG_SEGMENT: u16 = 32_000;
/// What fits an Ethernet frame beside the headers.
const SHORT_SEGMENT: u16 = 1_460;
const ETHERTYPE_IPV4: [u8; 2] = [8, 0];

/// The packet in a frame, when it is one of IPv4.
pub(crate) fn packet(frame: &[u8]) -> Option<&[u8]> {
    let (head, packet) = frame.split_at_checked(HEAD)?;
    (head[HEAD - 2..] == ETHERTYPE_IPV4).then_some(packet)
}

/// Where TCP begins in a packet, if it is TCP's first fragment.
fn tcp_at(packet: &[u8]) -> Option<usize> {
    let length = usize::from(packet.first()? & 15) * 4;
    (packet.get(9) == Some(&TCP) && length >= 20 && packet.len() >= length + 20).then_some(length)
}

/// Raises the longest segment that a guest's SYN announces.
pub(crate) fn announce_long_segments(frame: &mut [u8]) {
    let Some(packet) = frame.get_mut(HEAD..) else { return };
    let Some(at) = tcp_at(packet) else { return };
    let tcp = &mut packet[at..];
    if tcp[13] & SYN == 0 {
        return;
    }
    let end = (usize::from(tcp[12] >> 4) * 4).min(tcp.len());
    let mut at = 20;
    while at < end {
        match tcp[at] {
            0 => return,
            1 => at += 1,
            2 if at + 4 <= end => {
                tcp[at + 2..at + 4].copy_from_slice(&LONG_SEGMENT.to_be_bytes());
                return;
            }
            _ => match tcp.get(at + 1) {
                Some(length @ 2..) => at += usize::from(*length),
                _ => return,
            },
        }
    }
}

/// The destination of an IPv4 packet.
pub(crate) fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    Some(bytes.into())
}

/// Writes the headers before a packet that lies from [`HEAD`] on.
pub(crate) fn seal(frame: &mut [u8], device: u32) {
    let (head, packet) = frame.split_at_mut(HEAD);
    let (virtio, ethernet) = head.split_at_mut(VIRTIO);
    virtio.fill(0);
    virtio[0] = DATA_VALID;
    virtio[BUFFERS_AT] = 1;
    if packet.len() > usize::from(SHORT_SEGMENT) + 40
        && let Some(at) = tcp_at(packet)
    {
        // The kernel takes a long segment for several whose checksums are still to be made.
        let headers = ETHERNET + at + usize::from(packet[at + 12] >> 4) * 4;
        virtio[0] = NEEDS_CHECKSUM;
        virtio[1] = SEGMENTED;
        let words = [headers, usize::from(SHORT_SEGMENT), ETHERNET + at, TCP_CHECKSUM_AT];
        for (field, word) in virtio[2..BUFFERS_AT].chunks_exact_mut(2).zip(words) {
            field.copy_from_slice(&u16::try_from(word).unwrap_or(0).to_le_bytes());
        }
        let sum = pseudo_header_sum(packet, at);
        packet[at + TCP_CHECKSUM_AT..][..2].copy_from_slice(&sum.to_be_bytes());
    }
    ethernet[..6].copy_from_slice(&ADDRESS);
    // Locally administered, not a group's.
    ethernet[6..8].copy_from_slice(&[2, 0]);
    ethernet[8..12].copy_from_slice(&device.to_be_bytes());
    ethernet[12..].copy_from_slice(&ETHERTYPE_IPV4);
}

/// RFC 9293, 3.1, not yet complemented: what a card goes on from.
fn pseudo_header_sum(packet: &[u8], tcp_at: usize) -> u16 {
    let words = packet[12..20].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let length = u32::try_from(packet.len() - tcp_at).unwrap_or(0);
    let mut sum = words.sum::<u32>() + u32::from(TCP) + length;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame whose packet is TCP with these options and so many bytes.
    fn frame(flags: u8, options: &[u8], bytes: usize) -> Vec<u8> {
        let mut frame = vec![0; HEAD + 40 + options.len() + bytes];
        frame[HEAD - 2..HEAD].copy_from_slice(&ETHERTYPE_IPV4);
        let packet = &mut frame[HEAD..];
        packet[0] = 0x45;
        packet[9] = TCP;
        packet[12..20].copy_from_slice(&[172, 17, 0, 1, 172, 17, 0, 2]);
        packet[32] = u8::try_from(5 + options.len() / 4).unwrap() << 4;
        packet[33] = flags;
        packet[40..40 + options.len()].copy_from_slice(options);
        frame
    }

    #[test]
    fn only_a_syn_announces_long_segments() {
        let announced = [1, 2, 4, 5, 180, 0, 0, 0];
        for (flags, options, expected) in [
            (SYN, &announced[..], &[1, 2, 4, 125, 0, 0, 0, 0][..]),
            (16, &announced[..], &announced[..]),
            // Hostile lengths.
            (SYN, &[3, 0, 2, 4][..], &[3, 0, 2, 4][..]),
            (SYN, &[1, 1, 2, 4][..], &[1, 1, 2, 4][..]),
            (SYN, &[3, 255, 2, 4][..], &[3, 255, 2, 4][..]),
        ] {
            let mut frame = frame(flags, options, 0);
            announce_long_segments(&mut frame);
            assert_eq!(&frame[HEAD + 40..], expected, "{flags} {options:?}");
        }
        for length in 0..HEAD + 40 {
            announce_long_segments(&mut frame(SYN, &[], 0)[..length]);
        }
    }

    #[test]
    fn heads_say_where_to_and_what_is_to_be_cut() {
        let mut short = frame(16, &[], 1_460);
        seal(&mut short, 0x0102_0304);
        assert_eq!(short[..VIRTIO], [DATA_VALID, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(short[VIRTIO..HEAD], [0x52, 0x54, 0, 0x63, 0x61, 0x72, 2, 0, 1, 2, 3, 4, 8, 0]);
        let mut long = frame(16, &[], 1_461);
        seal(&mut long, 7);
        assert_eq!(long[..VIRTIO], [NEEDS_CHECKSUM, SEGMENTED, 54, 0, 180, 5, 34, 0, 16, 0, 1, 0]);
        // 172.17.0.1 + 172.17.0.2 + 6 + 1,481, as words.
        assert_eq!(long[HEAD + 36..HEAD + 38], [0x5d, 0xf5]);
        assert_eq!(destination(packet(&long).unwrap()), Some(Ipv4Addr::new(172, 17, 0, 2)));
        assert_eq!(packet(&long[..HEAD - 1]), None);
    }
}
