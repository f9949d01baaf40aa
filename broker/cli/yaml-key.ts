// A name as the key of a line of YAML.

/** Quoted where YAML might read something else into it, as in `yes`, `12` or `a: b`. */
export function yamlKey(name: string): string {
  const plain = /^[A-Za-z][A-Za-z0-9_.@-]*$/.test(name) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(name)
  return plain ? name : JSON.stringify(name)
}
