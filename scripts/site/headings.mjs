// For TypeDoc's markdown-it: TypeDoc takes the words of a heading for its anchor and for the page's contents, but leaves
// code out, so that a heading of nothing else would have neither. Here code in headings is words between tags.

export function withCodeInHeadings(parser) {
  parser.core.ruler.push('code-in-headings', ({ tokens, Token }) => {
    const tag = (content, level) =>
      Object.assign(new Token('html_inline', '', 0), { content, level })
    const words = ({ content, level }) => [
      tag('<code>', level),
      Object.assign(new Token('text', '', 0), { content, level }),
      tag('</code>', level),
    ]
    for (const [i, { type }] of tokens.entries()) {
      if (type !== 'heading_open') continue
      const line = tokens[i + 1]
      line.children = line.children.flatMap(one =>
        one.type === 'code_inline' ? words(one) : [one],
      )
    }
  })
}
