// Compares version numbers, also such as 6.12.117+deb12: digits as numbers, the rest as text.
export const compareVersions = new Intl.Collator('en', { numeric: true }).compare
