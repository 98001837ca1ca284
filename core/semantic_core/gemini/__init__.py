"""Everything that talks to Google's Gemini API."""
