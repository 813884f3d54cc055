// Whose address a request counts for: the peer's, or what a trusted proxy says of it.
import { type BlockList, isIP } from 'node:net';

/**
 * The client's address. `X-Forwarded-For` is believed only from trusted proxies, and of it the right-most entry that is
 * not itself a trusted proxy: everything left of that is the client's own claim.
 */
export function clientAddress(
  peer: string,
  forwardedFor: string | null,
  trusted: BlockList | undefined,
): string {
  let address = plain(peer);
  const claims = forwardedFor?.split(',').map((claim) => plain(claim.trim())) ?? [];
  while (trusted && isTrusted(address, trusted)) {
    const claim = claims.pop();
    if (claim === undefined || isIP(claim) === 0) break;
    address = claim;
  }
  return address;
}

function isTrusted(address: string, trusted: BlockList): boolean {
  const version = isIP(address);
  return version !== 0 && trusted.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

/** IPv4 addresses come in IPv6 clothes from a socket that listens on both. */
function plain(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}
