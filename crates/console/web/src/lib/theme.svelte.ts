import { browser } from './storage'

export const THEMES = ['auto', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

class ThemeChoice {
  current = $state<Theme>(THEMES.find((theme) => theme === browser.get('theme')) ?? 'auto')

  choose(theme: Theme): void {
    this.current = theme
    browser.set('theme', theme)
  }
}

export const theme = new ThemeChoice()
