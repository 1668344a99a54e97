import type { Session } from '../session.ts'

export function Health({ session: _session }: { readonly session: Session }) {
  return <p>Health</p>
}
