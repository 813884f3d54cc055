// Addresses: one spelling for each, and which of them count as one.
import { isIP } from 'node:net';

/** Bits of an IPv6 address that stand for one subscriber: a household or a rented machine is given a whole /64. */
const subscriberGroups = 4;
const siteGroups = 3;

/**
 * The one spelling of an address: IPv6 in lower case and compressed without a zone, IPv4 out of its IPv6 clothes
 * (`::ffff:203.0.113.1`). What is no address comes back as it is.
 * @see https://www.rfc-editor.org/rfc/rfc5952 (text representation), https://www.rfc-editor.org/rfc/rfc4291 (2.5.5.2)
 */
export function canonicalAddress(address: string): string {
  const [unzoned = ''] = address.split('%');
  if (isIP(unzoned) !== 6) return address;
  const canonical = new URL(`http://[${unzoned}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (!mapped) return canonical;
  const [high, low] = [mapped[1], mapped[2]].map((group) => Number.parseInt(group ?? '', 16));
  return [high, low].flatMap((pair = 0) => [pair >> 8, pair & 255]).join('.');
}

/** What an address counts as: IPv4 itself, IPv6 its /64 as `2001:db8:0:1::/64`. */
export function networkOf(address: string): string {
  return prefixOf(address, subscriberGroups);
}

/** The /48 that an IPv6 address lies in, of which providers give one to a site that asks; IPv4 is its own. */
export function siteOf(address: string): string {
  return prefixOf(address, siteGroups);
}

/** Of an address, or of the network that one counts as. */
function prefixOf(address: string, groups: number): string {
  const canonical = canonicalAddress(address.replace('::/64', '::'));
  if (isIP(canonical) !== 6) return canonical;
  const [before = [], after = []] = canonical.split('::').map((part) => part.split(':').filter(Boolean));
  const zeros = Array<string>(8 - before.length - after.length).fill('0');
  return `${[...before, ...zeros, ...after].slice(0, groups).join(':')}::/${groups * 16}`;
}
