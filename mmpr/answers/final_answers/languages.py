"""The words by which models name a final answer, refuse an option, set a condition or decline, by language.

All are in lower case and are read in text in lower case (``phrases.py``). Names, verbs and verdicts are plain words,
separated by ``|``; a ``*`` stands for any ending. The others are alternatives of a regular expression. A new language
is one more row of ``LANGUAGES``.

The phrases of English and Chinese are those of published model outputs (Qwen2.5-VL, InternVL3, GLM-4.xV, Kimi-VL,
LLaVA, DeepSeek-R1 and others on public benchmarks); those of the other languages are the plain words of school tests.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """The phrases of one language; an empty text where it has none of a kind.

    Args:
        code: ISO 639-1.
        answer: names of a final answer: ``answer``. Any text may follow.
        label: names only as a label at the beginning of a line: ``Result:``.
        option: names of an option: ``option``, ``choice``.
        choose: verbs before an option that is chosen: ``choose``.
        verdict: what an option is called that is right: ``correct``; the option stands before it.
        chosen: verdicts that say which option is taken, not only that it is right: ``正解``.
        final: what beside its name makes an answer the final one: ``final``, ``finale``.
        right: what beside its name makes an option the final answer: ``correct``, ``closest``.
        wrong: what makes an answer a wrong one: ``incorrect``.
        other: what makes it another than the final one: ``possible``, ``other``.
        be: what stands between the name and the answer: ``is``, ``lautet``.
        adverb: what may follow that: ``therefore``, ``donc``.
        tail: what stands behind the answer and is no part of it: ``です``.
        refused: what refuses an answer, before or behind it: ``not``, ``ではない``.
        condition: what a clause with a condition begins with: ``if``.
        assumed: what stands before an answer that nobody gives: ``suppose``, ``whether``.
        so: what a conclusion begins with: ``therefore``.
        because: what a reason behind the answer begins with.
        no_answer: what says that there is no answer.
    """

    code: str
    answer: str
    label: str = ""
    option: str = ""
    choose: str = ""
    verdict: str = ""
    chosen: str = ""
    final: str = ""
    right: str = ""
    wrong: str = ""
    other: str = ""
    be: str = ""
    adverb: str = ""
    tail: str = ""
    refused: str = ""
    condition: str = ""
    assumed: str = ""
    so: str = ""
    because: str = ""
    no_answer: str = ""


LANGUAGES = (
    Language(
        "en",
        answer="answers|answer|ans",
        label="result|solution|conclusion",
        option="option|options|choice|choices|letter|alternative|statement|figure|guess|one",
        choose="choose|select|pick|go with|go for|opt for|answer with|answer|say",
        verdict="correct|right|best|true|valid|accurate|suitable|appropriate|closest|supported",
        final="final|correct|right|short|my",
        right="correct|right|best|closest|nearest|final|appropriate|suitable|likely|accurate|proper|my",
        wrong="wrong|incorrect|false",
        other="possible|potential|other|alternative|candidate|sample|example|initial|previous|first|student's",
        be="is|are|(?:would|should|must|will|can only|has to)(?: most)?(?: likely| probably| therefore)? be"
        "|comes out to(?: be)?|turns out to be|equals|becomes|as",
        adverb="indeed|clearly|therefore|thus|then|hence|simply|just|exactly|actually|likely|most likely|definitely"
        "|approximately|about|also|given by|as|now|found to be|(?:clear|simple|obvious|straightforward)(?=:)",
        refused="not|isn't|cannot|can't|couldn't|never|neither|nor|wrong|incorrect|false|eliminated?|rules? out"
        "|ruled out|excluded?|impossible|doesn't|don't|except",
        condition="if|when|unless|otherwise|else|assuming|provided that|in (?:that|which) case|only if|had",
        assumed=r"assum\w*|suppos\w*|let's say|imagine|pretend|whether|claims?|claimed|mistake|misled|misread"
        "|(?:might|may|could|would|students?|people|first|initially|originally)(?: \\w+){0,2} (?:thinks?|thought|said)"
        "|hypothesi[sz]e",
        so="so|therefore|thus|hence|consequently|accordingly|in conclusion|to conclude|finally",
        because="because|since|as we|which (?:is|means|matches|corresponds)|so that|given that",
        no_answer=r"sorry|i (?:can't|cannot|am unable|do not|don't)|i'm (?:not able|unable|not sure)"
        r"|cannot be determined"
        "|not enough information|unable to|impossible to",
    ),
    Language(
        "zh",
        answer="答案|故填|应填|应填写",
        label="答|结论|結論|最终结果|最后结果|解答|结果",
        option="选项|選項|一项|选择|選擇|说法|结果|结论|的",
        choose="选择|選擇|选|選",
        verdict="正确|正確|符合题意|符合題意|符合要求|符合条件|符合史实|符合题干|符合|对的|成立|合适|恰当|合理"
        "|最佳|一致",
        final="最终|最终的|最后|最后的|正确|标准|参考|本题|最終|正確",
        right="正确|正確|恰当|合适|合理|最佳|适当|相符|一致|符合题意|符合要求|符合文意|符合题目要求|符合|错误"
        "|有误|题意|文意|接近|最好",
        wrong="错误|错误的|不正确的",
        other="其他|其它|可能的|备选|初步|学生的",
        be="(?:应该?|應該?|就|便|只能|必须|显然|即)?(?:是|为|為|选择?|選擇?|等于)",
        adverb="选项|選項",
        tail="选项|選項|这一项|项|(?:这个)?选项",
        refused="不|没|沒|非|错误|排除|无关|有误|错|未",
        condition="如果|若|假如|假若|倘若|要是|当|當|否则|除非|只有当",
        assumed="假设|假定|假如|若设|是否|是不是|误以为|误认为|有人认为|有同学认为",
        so="所以|因此|因而|故|综上(?:所述)?|于是|可见|從而|从而|由此可知|可知|总之|∴",
        because="因为",
        no_answer="抱歉|对不起|无法(?:确定|判断|回答|得知|得出|得到|看清|识别|计算)|看不清|不能确定|难以确定|信息不足|条件不足",
    ),
    Language(
        "ja",
        answer="答え|回答|解答|正答|正解",
        option="選択肢|もの|なの",
        verdict="正解|正しい|適切|最適|適当|選び|選択し|選択す|選ぶ|該当|相当|対応|答え",
        chosen="正解|選び|選択し|選択す|選ぶ|答え",
        final="最終的な|最終|正しい",
        right="正しい|適切な|適当な|適切|適当",
        wrong="誤った|間違った",
        be="は|が",
        adverb="、|やはり|つまり",
        tail="(?:と(?:なります|なる|考えられます|いえます|わかります)|に(?:なります|なる)|です|である|だ"
        "|でした|でしょう)",
        refused="ではありません|ではない|じゃない|でない|ません|誤り|間違い|不適切|正しくない|正しくありません"
        "|違います",
        condition="もし|仮に",
        assumed="仮定|仮に|と考え(?:てみ|る人)",
        so="したがって|よって|以上より|ゆえに|つまり|だから|そのため",
        because="なぜなら",
        no_answer="申し訳|判断できません|判断できない|わかりません|分かりません|特定できません|不明です",
    ),
    Language(
        "ko",
        answer="정답|답안|답변|답|해답",
        option="선택지|보기|것",
        verdict="정답|답|맞습|맞다|맞는|옳습|옳다|옳은|적절|선택|고르|골라|해당|일치",
        chosen="정답|답|선택|고르|골라",
        final="최종|올바른|맞는|옳은",
        right="올바른|옳은|맞는|적절한|알맞은",
        wrong="틀린|잘못된",
        be="은|는|이|가",
        adverb="바로|따라서|결국",
        tail="(?:이 |가 )?(?:됩니다|입니다|이다|이에요|예요|임|이며|다)",
        refused="아닙니다|아니다|아니며|않|틀렸|틀린|잘못|아니",
        condition="만약|만일",
        assumed="가정|인지|라고 하면",
        so="따라서|그러므로|그래서|즉|결론적으로",
        because="왜냐하면",
        no_answer="죄송|판단할 수 없|알 수 없|확인할 수 없|답할 수 없",
    ),
    Language(
        "fr",
        answer="réponse|réponses",
        label="solution|résultat|conclusion",
        option="option|proposition|choix|affirmation",
        choose="choisis|choisirais|choisissons|choisit|sélectionne|opte pour",
        verdict="correcte|correct|exacte|exact|juste|bonne|bon|vraie",
        final="finale|correcte|exacte|bonne",
        right="correcte?|bonne?|exacte?|juste|meilleure?",
        wrong="mauvaise|fausse|incorrecte",
        be="est|serait|sera|doit être|vaut",
        adverb="donc|ainsi|bien|l'option|la",
        refused="n'est pas|pas|ne|incorrecte?|fausse?|faux",
        condition="si|sinon|lorsque|quand",
        assumed="supposons|admettons|si|imaginons",
        so="donc|ainsi|par conséquent|en conclusion",
        because="parce que|puisque|car",
        no_answer="désolée?|je ne (?:peux|suis) pas|impossible de déterminer",
    ),
    Language(
        "de",
        answer="antwort|endantwort",
        label="lösung|ergebnis|fazit",
        option="option|antwortmöglichkeit|aussage|möglichkeit|ergebnis",
        choose="wähle ich|wähle|wählen wir|wählen|entscheide ich mich für|entscheide mich für|entscheiden wir uns für"
        "|nehme ich",
        verdict="richtig|richtige|korrekt|korrekte|zutreffend|wahr|beste",
        final="endgültige|richtige|korrekte|finale",
        right="richtige?|korrekte?|beste?|zutreffende?|das|endgültige",
        wrong="falsche|inkorrekte",
        be="ist|lautet|wäre|muss|beträgt",
        adverb="also|daher|somit|demnach|folglich|option|sein",
        refused="nicht|kein|keine|falsch|inkorrekt",
        condition="wenn|falls|sofern|sonst|andernfalls",
        assumed="angenommen|nehmen wir an|ob",
        so="also|daher|somit|folglich|deshalb|damit",
        because="weil|denn",
        no_answer="leider|tut mir leid|ich kann (?:die|das|diese)|nicht möglich",
    ),
    Language(
        "es",
        answer="respuesta",
        label="resultado|solución|conclusión",
        option="opción|alternativa|afirmación",
        choose="elijo|escojo|selecciono|elegimos|escogemos|optamos por|opto por",
        verdict="correcta|correcto|adecuada|verdadera|mejor",
        final="final|correcta",
        right="correct[ao]|mejor|adecuad[ao]",
        wrong="incorrect[ao]|errónea",
        be="es|sería|será|debe ser|está",
        adverb="entonces|por (?:lo )?tanto|la|el|la opción",
        refused="no|incorrect[ao]|fals[ao]|tampoco",
        condition="si|si no|de lo contrario|cuando",
        assumed="supongamos|asumamos|imaginemos",
        so="entonces|por (?:lo )?tanto|así que|en conclusión|luego",
        because="porque|ya que|puesto que",
        no_answer="lo siento|no puedo|no es posible",
    ),
    Language(
        "pt",
        answer="resposta",
        label="gabarito|resultado|solução|conclusão",
        option="opção|alternativa|afirmação",
        choose="escolho|seleciono|escolhemos|opto por|optamos por|marco",
        verdict="correta|correto|certa|certo|verdadeira|melhor",
        final="final|correta|certa",
        right="corret[ao]|cert[ao]|melhor|adequad[ao]",
        wrong="incorret[ao]|errad[ao]",
        be="é|seria|será|deve ser|está",
        adverb="então|portanto|a letra|letra|a opção|a alternativa",
        refused="não|incorret[ao]|errad[ao]|fals[ao]",
        condition="se|se não|senão|caso|caso contrário",
        assumed="suponha|suponhamos|vamos supor",
        so="portanto|logo|assim|então|em conclusão",
        because="porque|já que|uma vez que",
        no_answer="desculpe|não consigo|não posso|não é possível",
    ),
    Language(
        "it",
        answer="risposta",
        label="risultato|soluzione|conclusione",
        option="opzione|alternativa|affermazione",
        choose="scelgo|scegliamo|seleziono|opto per",
        verdict="corretta|corretto|esatta|giusta|vera|migliore",
        final="finale|corretta|esatta|giusta",
        right="corrett[ao]|esatt[ao]|giust[ao]|migliore",
        wrong="errata|sbagliata",
        be="è|sarebbe|sarà|deve essere",
        adverb="quindi|dunque|la|l'opzione|il",
        refused="non|errata|sbagliata|falsa",
        condition="se|altrimenti|qualora",
        assumed="supponiamo|ammettiamo",
        so="quindi|pertanto|dunque|perciò|in conclusione",
        because="perché|poiché",
        no_answer="mi dispiace|non posso|non riesco|impossibile",
    ),
    Language(
        "ru",
        answer="ответ",
        label="решение|результат|итог|вывод",
        option="вариант|утверждение",
        choose="выбираю|выбираем|выберу|выберем",
        verdict="верн*|верен|правильн*",
        final="окончательный|итоговый|правильный|верный",
        right="правильн(?:ый|ая|ое)|верн(?:ый|ая|ое)|лучший|подходящий",
        wrong="неправильный|неверный|ошибочный",
        be="—|–|это|будет|является|равен",
        adverb="вариант|это|под буквой|:",
        refused="не|неверный|неверен|неправильный|неправильно|неверно|ошибочный",
        condition="если|иначе|в противном случае|когда",
        assumed="предположим|допустим|пусть",
        so="значит|поэтому|следовательно|таким образом|итак",
        because="так как|потому что|поскольку",
        no_answer="к сожалению|извините|невозможно определить|не могу",
    ),
    Language(
        "ar",
        answer="الإجابة|الاجابة|الجواب|إجابة",
        label="النتيجة|الحل",
        option="الخيار|الاختيار|البديل",
        choose="أختار|نختار",
        verdict="الصحيح|صحيح|الصحيحة|صحيحة|الأنسب",
        final="الصحيحة|النهائية|النهائي|الصحيح",
        right="الصحيحة?|الأفضل|الأنسب",
        wrong="الخاطئة|الخطأ",
        be="هي|هو|تكون",
        adverb="الصحيحة|النهائية|إذن",
        refused="ليس|ليست|غير|خطأ|لا",
        condition="إذا|لو|وإلا",
        assumed="لنفترض|نفترض|افترض",
        so="لذلك|إذن|وبالتالي|لذا",
        because="لأن",
        no_answer="لا يمكن|عذرا|عذرًا|آسف|لا أستطيع",
    ),
    Language(
        "hi",
        answer="उत्तर|जवाब",
        label="परिणाम|हल|निष्कर्ष",
        option="विकल्प",
        verdict="सही",
        final="अंतिम|सही|अन्तिम",
        right="सही|सर्वोत्तम|उचित",
        wrong="गलत",
        adverb="है|होगा",
        tail="(?:है|हैं|होगा|होगी)",
        refused="नहीं|गलत",
        condition="यदि|अगर|अन्यथा",
        assumed="मान लीजिए|मान लें",
        so="अतः|इसलिए|अत:|इस प्रकार",
        because="क्योंकि",
        no_answer="क्षमा|नहीं किया जा सकता|असमर्थ",
    ),
)


_UNSPACED = ("zh", "ja", "ko")


def words(kind: str, spaced: bool | None = None) -> str:
    """The alternatives of one kind in all languages, or only in those with (or without) spaces between words."""
    return "|".join(
        alternatives
        for language in LANGUAGES
        if (alternatives := getattr(language, kind)) and spaced in (None, language.code not in _UNSPACED)
    )
