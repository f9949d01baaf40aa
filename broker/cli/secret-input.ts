// Reads what must not be shown: a password from the terminal, or bytes from a pipe.
import { CommandError } from './fail.ts'

const controlC = '\u0003'
const controlD = '\u0004'
const backspaces = new Set(['\u0008', '\u007f'])

/** Asks on standard error, so that standard output holds only the result. Needs a terminal. */
export function askSecret(question: string): Promise<string> {
  const { stdin, stderr } = process
  stderr.write(question)
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  return new Promise<string>((resolve, reject) => {
    let typed: string[] = []
    const finish = (): void => {
      stdin.off('data', onData)
      stdin.setRawMode(false)
      stdin.pause()
      stderr.write('\n')
    }
    const onData = (chunk: string): void => {
      const characters = [...chunk]
      for (const [index, character] of characters.entries()) {
        if (character === controlC) {
          finish()
          reject(new CommandError('interrupted'))
          return
        }
        if (character === '\r' || character === '\n' || character === controlD) {
          finish()
          // What was pasted behind the line belongs to the next question.
          const rest = characters.slice(index + 1).join('')
          if (rest !== '') stdin.unshift(rest)
          resolve(typed.join(''))
          return
        }
        if (backspaces.has(character)) typed = typed.slice(0, -1)
        else if (character >= ' ') typed.push(character)
      }
    }
    stdin.on('data', onData)
    stdin.resume()
  })
}

/** All of standard input. Throws CommandError above `maxBytes`. */
export async function readStdin(maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk as Buffer)
    length += bytes.length
    if (length > maxBytes) throw new CommandError(`standard input is larger than ${maxBytes} bytes`)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}
