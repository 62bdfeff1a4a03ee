"""Filler sentences of the simulated e-mails, in four languages. Data, no logic."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Phrases:
    """Sentences of one language; `{company}`, `{role}` and `{name}` are filled in."""

    your_company: str
    your_role: str
    greeting: str
    greeting_by_name: str
    subjects: tuple[str, ...]
    openings: tuple[str, ...]
    middles: tuple[str, ...]
    closings: tuple[str, ...]
    signature: str


ENGLISH: Final = Phrases(
    your_company="your company",
    your_role="someone in your role",
    greeting="Hello,",
    greeting_by_name="Hello {name},",
    subjects=(
        "A quick thought for {company}",
        "{company}: fewer hours lost between enquiry and answer",
        "How teams like {company} answer their leads the same day",
        "An idea for {company}, in two minutes",
    ),
    openings=(
        (
            "I came across {company} this week and noticed how much of your growth depends on answering new "
            "enquiries quickly."
        ),
        (
            "Most teams of the size of {company} tell us that the first reply is what decides a deal, and that "
            "it comes too late."
        ),
        "As {role}, you probably see more good conversations go quiet than anyone else does.",
        "Congratulations on the steady progress at {company}. Growth like that usually shows first in a crowded inbox.",
    ),
    middles=(
        (
            "We help companies answer every enquiry within the hour, with copy that reads as if your best "
            "colleague had written it. Nothing is sent that your team has not agreed to, and the setup takes "
            "an afternoon."
        ),
        (
            "One customer in your field cut the time to first reply from nine hours to twenty minutes, and "
            "booked a third more meetings in the first quarter without hiring."
        ),
        (
            "There is no new system to learn: it works inside the tools you already use, and you can switch it "
            "off at any time."
        ),
        "For {role} the useful part is the overview: which leads wait, which were answered, and what came of them.",
    ),
    closings=(
        "Would a quarter of an hour next week be worth it? I am happy to show it with your own examples.",
        "If this is not a topic at {company} right now, a short word is enough and I will not write again.",
        "May I send you a two-page summary, so that you can judge for yourself?",
    ),
    signature="Kind regards",
)

GERMAN: Final = Phrases(
    your_company="Ihr Unternehmen",
    your_role="Ihre Rolle",
    greeting="Guten Tag,",
    greeting_by_name="Guten Tag {name},",
    subjects=(
        "Ein Gedanke für {company}",
        "{company}: weniger Zeit zwischen Anfrage und Antwort",
        "Wie Teams wie {company} noch am selben Tag antworten",
        "Eine Idee für {company} in zwei Minuten",
    ),
    openings=(
        "bei {company} hängt vermutlich viel davon ab, wie schnell neue Anfragen beantwortet werden.",
        (
            "viele Unternehmen in der Größe von {company} berichten uns, dass die erste Antwort entscheidet "
            "und oft zu spät kommt."
        ),
        (
            "Ihre Funktion ({role}) bringt es mit sich, dass Sie als Erste sehen, welche guten Gespräche im "
            "Sande verlaufen."
        ),
        "das Wachstum von {company} ist beeindruckend, und meist zeigt es sich zuerst in einem vollen Posteingang.",
    ),
    middles=(
        (
            "Wir sorgen dafür, dass jede Anfrage innerhalb einer Stunde beantwortet wird, in einem Ton, der zu "
            "Ihnen passt. Es geht nichts hinaus, was Ihr Team nicht freigegeben hat, und die Einrichtung "
            "dauert einen Nachmittag."
        ),
        (
            "Ein Kunde aus Ihrer Branche hat die Zeit bis zur ersten Antwort von neun Stunden auf zwanzig "
            "Minuten gesenkt und im ersten Quartal ein Drittel mehr Termine vereinbart."
        ),
        (
            "Ein neues System ist nicht nötig: Es arbeitet in den Werkzeugen, die Sie schon nutzen, und lässt "
            "sich jederzeit abschalten."
        ),
        "Dazu kommt der Überblick: welche Kontakte warten, welche beantwortet sind und was daraus wurde.",
    ),
    closings=(
        "Hätten Sie nächste Woche eine Viertelstunde? Ich zeige es Ihnen gern an Ihren eigenen Beispielen.",
        "Falls das bei {company} gerade kein Thema ist, genügt ein kurzes Wort, und ich melde mich nicht wieder.",
        "Darf ich Ihnen eine Zusammenfassung auf zwei Seiten schicken, damit Sie sich selbst ein Bild machen können?",
    ),
    signature="Freundliche Grüße",
)

FRENCH: Final = Phrases(
    your_company="votre entreprise",
    your_role="votre fonction",
    greeting="Bonjour,",
    greeting_by_name="Bonjour {name},",
    subjects=(
        "Une idée pour {company}",
        "{company} : moins d'attente entre la demande et la réponse",
        "Comment des équipes comme {company} répondent le jour même",
        "{company}, deux minutes de lecture",
    ),
    openings=(
        "En découvrant {company} cette semaine, j'ai pensé à tout ce qui dépend d'une première réponse rapide.",
        (
            "La plupart des équipes de la taille de {company} nous disent que la première réponse décide de "
            "tout, et qu'elle arrive trop tard."
        ),
        "Votre poste ({role}) vous place mieux que quiconque pour voir les bonnes conversations qui s'éteignent.",
        "Bravo pour la croissance de {company} ; elle se voit souvent d'abord dans une boîte de réception pleine.",
    ),
    middles=(
        (
            "Nous aidons les entreprises à répondre à chaque demande dans l'heure, sur un ton qui est le "
            "vôtre. Rien ne part sans l'accord de votre équipe, et la mise en place prend un après-midi."
        ),
        (
            "Un client de votre secteur est passé de neuf heures à vingt minutes avant la première réponse, "
            "avec un tiers de rendez-vous en plus dès le premier trimestre."
        ),
        (
            "Il n'y a pas de nouvel outil à apprendre : tout se passe dans ceux que vous utilisez déjà, et "
            "s'arrête quand vous voulez."
        ),
        "Vous gardez la vue d'ensemble : quels contacts attendent, lesquels ont une réponse, et ce qui en est sorti.",
    ),
    closings=(
        "Auriez-vous un quart d'heure la semaine prochaine ? Je vous le montrerai avec vos propres exemples.",
        "Si le sujet n'est pas d'actualité chez {company}, un mot suffit et je ne vous écrirai plus.",
        "Puis-je vous envoyer un résumé de deux pages, pour que vous puissiez juger vous-même ?",
    ),
    signature="Bien cordialement",
)

SPANISH: Final = Phrases(
    your_company="su empresa",
    your_role="su puesto",
    greeting="Hola:",
    greeting_by_name="Hola, {name}:",
    subjects=(
        "Una idea para {company}",
        "{company}: menos espera entre la consulta y la respuesta",
        "Cómo equipos como {company} responden el mismo día",
        "Dos minutos para {company}",
    ),
    openings=(
        "Esta semana conocí {company} y pensé en cuánto depende de responder pronto a cada consulta nueva.",
        (
            "Muchos equipos del tamaño de {company} nos cuentan que la primera respuesta decide la venta, y "
            "que llega tarde."
        ),
        "Desde su puesto ({role}) verá mejor que nadie cuántas buenas conversaciones se apagan.",
        "Enhorabuena por el crecimiento de {company}; suele notarse primero en una bandeja de entrada llena.",
    ),
    middles=(
        (
            "Ayudamos a las empresas a responder a cada consulta en menos de una hora, con un tono propio. No "
            "sale nada que su equipo no haya aprobado, y la puesta en marcha lleva una tarde."
        ),
        (
            "Un cliente de su sector pasó de nueve horas a veinte minutos hasta la primera respuesta, y cerró "
            "un tercio más de reuniones en el primer trimestre."
        ),
        "No hay un sistema nuevo que aprender: funciona en las herramientas que ya utiliza y se apaga cuando quiera.",
        "Además tendrá la vista completa: qué contactos esperan, cuáles tienen respuesta y qué resultó de ellos.",
    ),
    closings=(
        "¿Le vendría bien un cuarto de hora la semana próxima? Se lo mostraré con sus propios ejemplos.",
        "Si ahora no es un tema para {company}, basta una palabra y no volveré a escribir.",
        "¿Puedo enviarle un resumen de dos páginas para que lo valore usted?",
    ),
    signature="Un cordial saludo",
)

PHRASES: Final = {"en": ENGLISH, "de": GERMAN, "fr": FRENCH, "es": SPANISH}
