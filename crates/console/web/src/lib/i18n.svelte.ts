// Two languages. The Korean dictionary has exactly the keys of the English one, which the compiler checks.
import { en } from './en'
import { ko } from './ko'
import { browser } from './storage'

export type Key = keyof typeof en
export type Language = 'en' | 'ko'

const dictionaries: Record<Language, Record<Key, string>> = { en, ko }

class LanguageChoice {
  current = $state<Language>(preferred())

  choose(language: Language): void {
    this.current = language
    browser.set('language', language)
  }
}

function preferred(): Language {
  const stored = browser.get('language')
  if (stored === 'en' || stored === 'ko') return stored
  return navigator.language.startsWith('ko') ? 'ko' : 'en'
}

export const language = new LanguageChoice()

/** The text of the key, with each `{name}` replaced. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return dictionaries[language.current][key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''))
}

/** The name of a value of the API, such as a status: its key, or the value where it is new. */
export function named(group: string, value: string): string {
  const key = `${group}.${value}`
  return key in en ? t(key as Key) : value
}
