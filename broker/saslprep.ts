// SASLprep (RFC 4013): one form for all ways to type the same name or password, so that both sides hash the same bytes.

/**
 * What is left after mapping and NFKC; undefined for what the profile prohibits: control characters, private use,
 * non-characters, surrogates, changed or deprecated marks, tags, unassigned code points, and left-to-right letters
 * mixed with right-to-left ones (RFC 3454, 6).
 *
 * Two deviations from the letter: Unicode is that of Node instead of 3.2, so that newer letters and emoji may stand in
 * a password; and every letter that is not right-to-left counts as left-to-right (table D.2 also has some signs).
 */
export function saslprep(text: string): string | undefined {
  if (/^[\x20-\x7e]*$/.test(text)) return text
  const prepared = text.replace(otherSpaces, ' ').replace(mappedToNothing, '').normalize('NFKC')
  return prohibited.test(prepared) || !isOneDirection(prepared) ? undefined : prepared
}

/** Table C.1.2. */
const otherSpaces = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu

/** Table B.1, but for U+200B: it is in C.1.2 too, and that mapping comes first. */
// biome-ignore lint/suspicious/noMisleadingCharacterClass: each of them is mapped by itself.
const mappedToNothing = /[\u00ad\u034f\u1806\u180b-\u180d\u200c\u200d\u2060\ufe00-\ufe0f\ufeff]/gu

/** Tables C.1.2 and C.2.1 to C.9; Cc, Co, Cs and Cn hold most of them. NFKC leaves no U+0340 and U+0341. */
const prohibited =
  /[\p{Cc}\p{Co}\p{Cs}\p{Cn}\u00a0\u06dd\u070f\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2063\u206a-\u206f\u2ff0-\u2ffb\u3000\ufeff\ufff9-\ufffd\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/u

/** Table D.1. */
const rightToLeft =
  /[\u05be\u05c0\u05c3\u05d0-\u05ea\u05f0-\u05f4\u061b\u061f\u0621-\u063a\u0640-\u064a\u066d-\u066f\u0671-\u06d5\u06dd\u06e5\u06e6\u06fa-\u06fe\u0700-\u070d\u0710\u0712-\u072c\u0780-\u07a5\u07b1\u200f\ufb1d\ufb1f-\ufb28\ufb2a-\ufb36\ufb38-\ufb3c\ufb3e\ufb40\ufb41\ufb43\ufb44\ufb46-\ufbb1\ufbd3-\ufd3d\ufd50-\ufd8f\ufd92-\ufdc7\ufdf0-\ufdfc\ufe70-\ufe74\ufe76-\ufefc]/u

function isOneDirection(text: string): boolean {
  if (!rightToLeft.test(text)) return true
  const characters = [...text]
  if (characters.some((character) => /\p{L}/u.test(character) && !rightToLeft.test(character))) return false
  return rightToLeft.test(characters[0]!) && rightToLeft.test(characters.at(-1)!)
}
