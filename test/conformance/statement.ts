// A normative statement of the standard, who must obey it, and how we know that the broker does.

export interface Statement {
  /** As the standard numbers it, without brackets: `MQTT-3.1.2-24`. */
  readonly id: string
  /** Statements that bind only clients need no `where` and no proof. */
  readonly binds: 'server' | 'client' | 'both'
  /** In our words, one line. */
  readonly text: string
  /** Files below broker/ or plugins/ in which it is obeyed. */
  readonly where?: readonly string[]
  /** Titles of tests. What a title in a loop fills in is written as `…`. */
  readonly tests?: readonly string[]
  /** Names of rows of test/hostile/packets.json, which hostile-packets.test.ts plays against a running broker. */
  readonly hostile?: readonly string[]
}

export interface Chapter {
  /** `5.0` or `3.1.1`. */
  readonly version: string
  readonly title: string
  readonly statements: readonly Statement[]
}
